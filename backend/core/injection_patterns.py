"""The patterns behind `injection.suspicious`, language by language, over text without accents and in lower case.

A blank in a pattern stands for any blanks or Markdown marks. `hit` names the passage where what goes before it matters.
"""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal["override", "demand", "role", "token", "hidden"]

_Patterns = dict[Kind, tuple[str, ...]]

_BLANK = r"[\s*_`~]"
_START = r"(?:^|[.!?:;\n\"'“”„«»‘’(\[*—–。！？：；，、「『]|\b(?:please|kindly|must|should|always|just|simply|now|only|you)\b)\s*"
"""Where an order may begin: the head of a sentence or a quote, or after a word that urges."""
_FIVE = (
    r"(?:5|10|100|five|ten)\b(?:/(?:5|10|100)\b)?(?!\s*(?:minutes|seconds|hours|days|dollars|euros|years|times|more))"
)

_IT = (
    r"(?:this|it|that|(?:this|the|that|my|our|your|every|each|all|these|those)(?: [a-z]+)? "
    r"(?:captions?|answers?|images?|texts?|descriptions?|samples?|responses?|examples?|pairs?|items?|submissions?"
    r"|candidates?|translations?|transcriptions?|tasks?|questions?|criteria|criterion))"
)
_TOP = rf"(?:{_FIVE}|(?:the )?(?:highest|top|maximum|max|maximal|full|perfect|best)(?: possible)? (?:score|rating|grade|marks?|stars|points|5|10)\b)"
_JUDGE = r"(?:ai|a\.i\.|llm|vlm|ai model|ai assistant|language model|vision model|judge model|grader|rater|evaluator|auto-?grader|judge|assistant)"

_EN: _Patterns = {
    "override": (
        (
            r"\b(?:ignor(?:e|ing)|disregard(?:ing)?|overlook|forget|override|bypass|do not follow|don'?t follow|stop following"
            r"|pay no attention to|do not obey) (?:about )?(?:(?:all|any|the|your|these|those|my|of|every|each) ){0,3}"
            r"(?:(?:previous|prior|above|earlier|preceding|foregoing|original|system|other|initial|existing|judging"
            r"|evaluation|grading|scoring|safety)(?:,| and| or)? ?){1,3}"
            r"(?:instructions?|rules?|prompts?|rubrics?|guidelines|directions|directives|criteria|commands?|orders?|messages?|text|context)\b"
        ),
        (
            r"\b(?:ignore|disregard|forget|override|bypass|do not follow|don'?t follow) (?:(?:all|any|of) )*"
            r"(?:your (?:instructions?|rules|prompts?|guidelines|directions|criteria|training|rubric)|(?:the|this) rubric"
            r"|(?:the|your)? ?system prompt|(?:everything|anything|all|what)(?: that)?(?: was| is| you were| has been)? "
            r"(?:above|the system (?:said|told you)|before this|said before|told before|told|written above|you were told))\b"
        ),
        (
            rf"{_START}(?P<hit>(?:ignore|disregard|do not look at|don'?t look at|do not check|don'?t check|do not use"
            r"|do not compare(?: \w+){0,3} (?:with|to)) (?:the|this|what the) (?:image|picture|photo)"
            r"(?:(?: content\w*| shows?)? ?(?:and|,|;|when|while|entirely|completely|below|above)|\s*[.!]?\s*$))"
        ),
        (
            r"\b(?:regardless of|no matter|independent(?:ly)? of) (?:what |how )?(?:the |this |its )?(?:actual )?"
            r"(?:image|picture|photo|rubric|instructions|criteria)\b(?: content\w*)?(?: (?:shows?|contains?|says?|looks?))?"
        ),
        r"\b(?:new|updated|real|actual|revised) (?:system )?instructions?(?: for you)?\s*:",
        r"\b(?:end|start|begin(?:ning)?) of (?:the )?(?:(?:system )?prompt|system instructions)\b",
        r"\b(?:developer|debug|admin|god|dan|jailbreak|maintenance) mode (?:is )?(?:now )?(?:enabled|activated|on)\b",
        (
            r"\b(?:reveal|print|repeat|show|output|leak) (?:me )?(?:your|the) (?:hidden |secret |full |entire )?"
            r"(?:system prompt|instructions given|initial instructions|prompt above)\b"
        ),
        (
            r"\b(?:ignore|disregard|forget|set aside|skip|do not follow|don'?t follow|never follow|stop following) "
            r"(?:(?:all|any|every|whatever|everything|the|of|what) ){0,3}(?:instructions?|rules?|guidelines|guidance|directions|prompts?"
            r"|you (?:were|have been|are)|was said|came) ?(?:told|given|instructed|received|that|which|above|before|earlier|previously|so far)\b"
        ),
        r"\b(?:previous|prior|above|earlier|preceding|original) (?:instructions?|guidance|rules|prompts?|guidelines) (?:are|is|were|was)(?: now)? (?:void|cancel\w+|obsolete|wrong|outdated|invalid|superseded|no longer)\b",
        r"\byou (?:have been|were|are)(?: now)? (?:(?:reprogrammed|programmed|configured) to (?:\w+ )?(?:accept|rate|score|answer|approve|agree|say|give|ignore|output|mark)\b|(?:instructed|ordered|required|told) to (?:always )?(?:(?:answer|say|reply|respond)(?: with)? [\"\'“]?yes\b|(?:rate|score|accept|approve) (?:this|it|every|all)\b))",
        r"\b(?:skip|ignore|drop|override) (?:the|your|this) (?:rubric|judging criteria|grading criteria|system prompt|evaluation)\b",
    ),
    "demand": (
        (
            rf"{_START}(?P<hit>(?:rate|score|grade|mark|rank|give|assign|award|judge|evaluate|label) {_IT}"
            rf"[\s:,]*(?:(?:as|with|at|a|an|the|only|exactly|to|be|out of|is|rating|score|of) )*{_TOP})"
        ),
        (
            rf"{_START}(?P<hit>(?:give|assign|award|choose|pick|select|output|return|print|respond with|answer with|reply with) "
            rf"(?:(?:only|always|just|a|an|the|this|it|us|me|number|digit|score|rating|option|of) ){{0,4}}{_TOP}"
            r"(?: (?:for|on|in|to) (?:all|every|each|any|both|this|the)\b|\s*[.!\"'”]?\s*$|,? (?:regardless|no matter|whatever)))"
        ),
        (
            rf"{_START}(?P<hit>(?:answer|respond|reply|say|output|return|print|write|choose|select|pick) "
            r"(?:(?:only|just|always|simply|with|by saying|the|word|option|a|to (?:all|every|each|any)\w*(?: questions?)?) ?){0,5}"
            r"[\"'“‘«]?(?:yes|accept)\b[\"'”’»]?(?! ?,? ?(?:or|if|when|and no|/|to the|to life|to a|to her|to his)\b)(?! ?/))"
        ),
        (
            rf"{_START}(?P<hit>(?:rate|mark|label|classify|accept|approve|treat|consider|flag|report|judge) {_IT}"
            r"(?: (?:as|to be|is))?(?: (?:fully|completely|entirely|100%|perfectly|totally))*"
            r" ?(?:correct|accurate|accepted|approved|perfect|valid|supported|flawless|without|unconditionally|immediately|anyway)\b)"
        ),
        rf"{_START}(?P<hit>(?:accept|approve) (?:this|the|every|all)(?: \w+)? ?(?:captions?|answers?|samples?|items?|tasks?|texts?)\b)",
        (
            rf"\b{_IT} (?:must|should|has to|have to|deserves?|needs? to|ought to)(?: always)? (?:be |get |receive |to )*"
            r"(?:accepted|approved|(?:(?:rated|scored|graded|marked|given|awarded)(?: as| with)? )?(?:a |an |the )?"
            rf"(?:{_FIVE}|accepted|highest|top score|top rating|maximum|perfect score|full marks))(?!\s*\d)"
        ),
        r"\b(?:your|the) (?:final )?(?:verdict|decision|rating|score|answer) (?:must|should|has to|shall|will) (?:always )?be[\s:\"'“]*(?:accept\w*|yes|5|five|10|positive|correct)\b",
        r"\b(?:do not|don'?t|never) (?:reject|flag|penali[sz]e|mark down|downgrade) (?:this|the|any|it|my|our)\b",
        r"\bbe (?:generous|lenient|kind) (?:when|while|in|with)(?: \w+){0,2} (?:grading|scoring|rating|judging|score|rating|grade)\b",
        rf"\b(?:and|then|so|,) (?:rate|score|grade|mark) (?:this|it|the) ?(?:captions?|answers?|images?|texts?|descriptions?|samples?|responses?)? ?(?:as|with|at|a|an|the)? ?{_TOP}(?: out of (?:5|10))?\s*[.!\"'”]?\s*$",
        r"\b(?:(?:verdict|decision) ?(?:=|:=|==|:) ?[\"'“]?(?:accept\w*|yes|pass)|all (?:scores|ratings|grades) ?(?:=|:=|==|:) ?(?:5|10|max\w*))\b",
        r"\b(?:set|change|switch|fix|force|put) (?:the|your|all|every) (?:final )?(?:verdicts?|decisions?|ratings?|scores?|answers?|labels?) (?:to|at|as) [\"'“]?(?:accept\w*|yes|5|five|10|pass|max\w*|perfect|true|correct)\b",
        r"\b(?:correct|right|expected|true|required|only acceptable) (?:rating|score|verdict|grade)(?: for (?:this|the|it|all)(?: \w+)?)? (?:is|=|:) ?[\"'“]?(?:5|five|10|accept\w*|yes)\b",
        r"\b(?:your|the) (?:only )?(?:task|job|role|goal|duty) is to (?:always |only |just )?(?:(?:reply|answer|respond|say|output|return)(?: with)? [\"\'“]?(?:yes|5|accept)\b|(?:rate|accept|approve|agree with) (?:this|it|every|all|the caption)\b)",
        r"\banswers?:? (?:is )?[\"'“]?yes[\"'”]? to (?:all|every|each|any)\b(?: of)?(?: the| these)?(?: questions?)?",
        rf"{_START}(?P<hit>(?:always|just|simply) (?:accept|approve|agree)\s*(?:[.!]|$))",
        r"\byou (?:no longer|do not|don'?t) (?:need|have) to (?:follow|apply|use|check|obey|respect) (?:the|your|any|this) (?:rubric|instructions?|rules|criteria|image|picture|guidelines)\b",
        r"\b(?:so|therefore|thus|hence),? (?:please )?(?:answer|reply|respond|say)(?: with)? [\"'“]?yes\b(?! ?(?:or|/))",
    ),
    "role": (
        rf"\b(?:(?:note|message|instructions?|hint|reminder|memo) (?:to|for)|attention)[^\S\n]+(?:(?:the|any|all) )?{_JUDGE}s?\s*[:!,\-–—]",
        r"\b(?:dear|hey|hello|hi)[^\S\n]+(?:ai|llm|vlm|(?:language|vision|ai) model|grader|evaluator)\s*[:!,\-–—]",
        r"\b(?:you are|act as|behave as|pretend to be|roleplay as)(?: now| no longer)?(?: an?| the)? (?:\w+ ){0,2}(?:grader|rater|evaluator|judge|ai|assistant|language model|llm|chatbot)\b(?! of)",
        r"\b(?:as|if you are) an? (?:ai|llm|vlm|language model|vision model|ai judge|automated (?:judge|grader))\b,? (?:you|please|give|rate|answer)",
    ),
}

_FR: _Patterns = {
    "override": (
        (
            r"\b(?:ignore[rz]?|oublie[rz]?|neglige[rz]?|contourne[rz]?|ne (?:tiens|tenez) (?:pas|aucun) compte d|ne (?:suis|suivez) pas"
            r"|(?:fais|faites) abstraction d|passe[rz]? outre)(?:es?|e l|u)?[\s'’]*(?:[a-z'’]+ ){0,4}?"
            r"(?:(?:instructions?|consignes?|regles|directives?|prompt|invite|criteres|bareme|grille|ordres) "
            r"(?:precedente?s?|ci-dessus|anterieure?s?|initiale?s?|(?:du )?systeme|d[’']evaluation|donnees|recues)"
            r"|(?:tes|vos|toutes les) (?:instructions|consignes|regles|directives|criteres))"
        ),
        rf"{_START}(?P<hit>(?:ignore[rz]?|ne (?:regarde[rz]?|verifie[rz]?) pas) l[’']image\b)",
        r"\b(?:quelle que soit|peu importe|independamment de|sans tenir compte de) l[’']image\b",
        r"\b(?:ignorez|ignorer|ignore|oubliez|oubliez|oublie|d'oublier) (?:tout|toutes)(?: ce)? (?:ce )?(?:qui precede|ci-dessus|avant)\b",
    ),
    "demand": (
        (
            rf"{_START}(?P<hit>(?:veuillez )?(?:note[rz]?|evalue[rz]?|attribue[rz]?|donne[rz]?|mets|mettez|accorde[rz]?|classe[rz]?)"
            r"(?:-(?:lui|la|le))? (?:(?:ceci|cela|ca|a|cette|ce|la|le|les|toutes?|tous|legende|reponse|description|texte|image|echantillon|exemple"
            r"|toujours|simplement|avec|comme) ){0,5}(?:(?:un|une|la|le|de) )*(?:5|cinq|10|20|100|note maximale|meilleure note|note la plus haute|maximum)\b"
            r"(?!\s*(?:minutes|euros|ans|jours|heures|amis|pommes)))"
        ),
        (
            rf"{_START}(?P<hit>(?:repond(?:s|ez|re)|dis|dites|ecri(?:s|vez)) (?:(?:toujours|simplement|uniquement|seulement|par|avec|que|a tout|a toutes les questions) ){{0,3}}"
            r"[\"«“‘']?\s?oui\b(?!\s*[\"»”’']?\s*(?:ou|/|si)\b)(?!\s?/))"
        ),
        rf"{_START}(?P<hit>(?:accepte[rz]?|approuve[rz]?|valide[rz]?) (?:cette|ce|la|le|cet|toutes les) (?:legende|reponse|description|texte|image|echantillon|exemple)s?\b)",
        r"\b(?:cette|la) (?:legende|reponse|description) (?:doit|merite)(?: d[’']| d[’']etre | etre | recevoir | obtenir )*(?:etre )?(?:acceptee|validee|notee? 5|la note maximale|5)\b",
        rf"{_START}(?P<hit>(?:mets|mettez|donnez?|attribue[rz]?) (?:la|une) note (?:de )?(?:5|10|20|cinq|maximale)\b)",
        r"\bverdict ?(?:=|:) ?accepte[re]?\b",
        r"\b(?:desormais|a partir de maintenant|dorenavant),? (?:tu |vous )?(?:repond\w+|note[zs]?|accept\w+|ignor\w+)",
        r"\bne (?:rejete[rz]?|refuse[rz]?|penalise[rz]?) (?:pas|jamais) (?:cette|cet|ce|la|le|les) (?:legende|reponse|description|texte|image|exemple|echantillon)s?\b",
        r"\b(?:la|ta|votre) (?:note|decision) doit (?:toujours )?etre (?:de )?(?:5|20|10|maximale|positive)\b",
    ),
    "role": (
        r"\b(?:note|message|instructions?|consignes?|attention)(?: (?:au|a l|pour le|pour l|aux))[’'\s]*(?:juge|evaluateur|ia|modele|assistant|correcteur)s?\s*[:!,\-–—]",
        r"\b(?:tu es|vous etes)(?: maintenant| desormais)?(?: une?| le| l[’'])? ?(?:evaluateur|juge|correcteur|assistant|ia|modele de langage)\b",
    ),
}

_DE: _Patterns = {
    "override": (
        (
            r"\b(?:ignorier(?:e|en|t)|vergiss|vergesst|vergessen|missachte[nt]?|umgehe[nt]?|uberspringe[nt]?|befolge[nt]?)(?: sie)? "
            r"(?:(?:bitte|alle|die|den|das|samtliche|nicht|deine[n]?|ihre[n]?|all) ){0,4}"
            r"(?:(?:vorherige|obige|bisherige|vorangegangene|fruhere|vorige|vorstehende|ursprungliche|obenstehende)[nr]? ?(?:system)?"
            r"(?:anweisung|regel|instruktion|vorgabe|richtlinie|kriteri|prompt|befehl|aufgabe)\w*|systemprompt\w*|bewertungskriterien)"
        ),
        r"\b(?:ignorier(?:e|en|t)|vergiss|vergessen|missachte[nt]?)(?: sie)? (?:bitte )?(?:alle )?(?:deine|ihre|eure)[n]? (?:anweisungen|regeln|vorgaben|richtlinien|instruktionen|kriterien)\b",
        rf"{_START}(?P<hit>(?:ignorier(?:e|en)|beachte[n]?|prufe[n]?)(?: sie)? das (?:bild|foto)(?: nicht\b| und\b|\s*[.!]|,))",
        r"\b(?:unabhangig vo[nm]|egal,? was|ungeachtet)(?: de[mrs])? (?:das |dem |des )?(?:bild|bildinhalt|foto)e?s?\b",
        r"\b(?:ignorier(?:e|en|t)|vergiss|vergessen|missachte[nt]?)(?: sie)? (?:bitte )?(?:(?:alle|die|den|samtliche) ){1,2}(?:anweisungen|regeln|vorgaben|instruktionen|richtlinien|text) (?:oben|davor|zuvor|von oben|von vorher|bisher)\b",
        r"\b(?:ignorier(?:e|en|t)|vergiss|vergessen|missachte[nt]?)(?: sie)? (?:bitte )?alles (?:davor|zuvor|oben|bisherige|vorherige|obige|was)\b",
    ),
    "demand": (
        (
            rf"(?:{_START}|\bbitte )(?P<hit>(?:bewerte[n]?|benote[n]?|gib|geben|vergib|vergeben|beurteile[n]?)(?: sie)? "
            r"(?:(?:dies(?:e[nrsm]?)?|das|die|den|der|dem|es|ihr|ihm|immer|bitte|alle[ns]?|beschreibung|bildbeschreibung|bildunterschrift|antwort|text|bild|beispiel|mit|als|fur) ){0,6}"
            r"(?:(?:der|die|dem|einer|eine|volle) )*(?:5|funf|10|100|hochst\w*|bestnote|beste[nr]? (?:note|bewertung)|voller? punktzahl|volle punkte|maximal\w*)\b"
            r"(?!\s*(?:minuten|euro|jahre|tage|stunden|apfel)))"
        ),
        (
            rf"(?:{_START}|\bbitte )(?P<hit>(?:antworte[nt]?|sag|sage[nt]?|schreibe?)(?: sie)? (?:(?:immer|nur|einfach|stets|bitte|mit|auf alles|auf alle fragen) ){{0,3}}"
            r"[\"„“»‚']?ja\b(?!\s*[\"“”«‘']?\s*(?:oder|wenn|falls)\b)(?!\s?/))"
        ),
        rf"(?:{_START}|\bbitte )(?P<hit>(?:akzeptiere[n]?|genehmige[n]?)(?: sie)? (?:diese[nrs]?|die|das|den|alle) (?:\w+ )?(?:beschreibung|bildunterschrift|antwort|text|beispiel|bildbeschreibung)\w*)",
        r"\b(?:diese|die) (?:beschreibung|bildunterschrift|antwort) (?:muss|soll|sollte|verdient)(?: immer)? (?:(?:mit|die|eine|als|unbedingt) )*(?:akzeptiert|angenommen|5|funf|hochstnote|bestnote|korrekt)\b",
        r"\b(?:ab jetzt|ab sofort|von nun an),? (?:\w+ )?(?:antwort\w+|bewert\w+|akzeptier\w+|ignorier\w+|sag\w*|gib|gibst)\b",
        rf"(?:{_START}|\bbitte |\bund )(?P<hit>(?:gib|geben|vergib|vergeben|setze[n]?)(?: sie)? (?:(?:fur|bei|in|auf|alle[nsm]?|jede[ms]?|kriterien|kriterium|punkte|die|den|immer|das|verdikt|urteil) ){{0,5}}(?:hochstnote|bestnote|hochstwertung|hochste (?:note|punktzahl|bewertung)|volle punktzahl|(?:5|funf|10) (?:punkte|sterne)\s*[.!]?\s*$))",
        r"\burteil ?(?:=|:) ?(?:akzeptiert|annehmen)\b",
        r"\blehne[n]?(?: sie)? (?:diese[nrs]?|die|das|den) (?:beschreibung|bildunterschrift|antwort|text|beispiel)\w* (?:nicht|nie(?:mals)?) ab\b",
        r"\b(?:die|deine|ihre) (?:bewertung|note|entscheidung|punktzahl) (?:muss|soll) (?:immer )?(?:5|10|maximal|positiv|akzeptieren)(?: sein)?\b",
    ),
    "role": (
        r"\b(?:hinweis|nachricht|anweisung|notiz|achtung|botschaft)(?: an (?:die|den|das|alle)| fur (?:die|den|das))? (?:ki|bewerter|prufer|gutachter|sprachmodell|modell|richtermodell|assistent(?:en)?)\s*[:!,\-–—]",
        r"\b(?:du bist|sie sind)(?: jetzt| nun| ab sofort)? (?:ein |eine |der |die )?(?:\w+ )?(?:bewerter|gutachter|prufer|ki|sprachmodell|ki-assistent|assistent)\b",
    ),
}

_ES: _Patterns = {
    "override": (
        (
            r"\b(?:ignor(?:a|e|ar|en)|olvid(?:a|e|ar)|omit(?:e|a|ir)|descart(?:a|e|ar)|(?:haz|haga) caso omiso de|no (?:hagas|haga) caso (?:a|de)|no (?:sigas|siga)|desobedece) "
            r"(?:(?:por favor|todas?|todos?|las?|los?|el|cualquier|de) ){0,4}"
            r"(?:(?:tus|sus|vuestras) (?:instrucciones|reglas|indicaciones|directrices|criterios)"
            r"|(?:instrucciones|reglas|indicaciones|ordenes|directrices|criterios|mensajes|prompt|rubrica) "
            r"(?:anteriores|anterior|previas|previos|previo|de arriba|iniciales|originales|del sistema|de evaluacion|recibidas))"
        ),
        rf"{_START}(?P<hit>(?:ignora|ignore|no (?:mires|mire|compruebes|compruebe|verifiques)) la (?:imagen|foto)\b)",
        r"\b(?:independientemente de|sin importar|sin tener en cuenta|da igual) (?:lo que (?:muestre|haya en) )?la imagen\b",
        r"\b(?:ignor(?:a|e|ar)|olvid(?:a|e|ar)) (?:todo )?(?:todo|lo) ?(?:lo )?(?:anterior|que (?:te|le) (?:han dicho|dijeron)|de arriba)\b",
    ),
    "demand": (
        (
            rf"(?:{_START}|\bpor favor,? )(?P<hit>(?:califica|califique|calificar|puntua|puntue|valora|valore|evalua|evalue|dale|dele|da|de|asigna|asigne|otorga|otorgue|ponle|pon)(?:lo|la|les)? "
            r"(?:(?:esto|esta|este|eso|la|el|a|siempre|leyenda|descripcion|respuesta|texto|imagen|muestra|ejemplo|con|como) ){0,5}"
            r"(?:(?:un|una|la|el) )*(?:5|cinco|10|100|(?:puntuacion|nota|calificacion) (?:maxima|mas alta|perfecta)|maxima (?:puntuacion|nota|calificacion)|mejor (?:nota|puntuacion))\b"
            r"(?!\s*(?:minutos|euros|anos|dias|horas|de (?:enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre))))"
        ),
        (
            rf"(?:{_START}|\bpor favor,? )(?P<hit>(?:responde|responda|contesta|conteste|di|diga) (?:(?:siempre|solo|unicamente|simplemente|con|que|un|a todo|a todas las preguntas) ){{1,3}}"
            r"[\"«“‘']?si\b(?!\s*[\"»”’']?\s*(?:o|/)\b)(?!\s?/)|(?:responde|responda|contesta|conteste)[:\s]*[\"«“‘']\s?si\b(?!\s*[\"»”’']?\s*o\b))"
        ),
        rf"(?:{_START}|\bpor favor,? )(?P<hit>(?:acepta|acepte|aprueba|apruebe) (?:esta|este|la|el|todas las) (?:leyenda|descripcion|respuesta|texto|muestra|ejemplo)s?\b)",
        r"\b(?:esta|la) (?:leyenda|descripcion|respuesta) (?:debe|merece|tiene que)(?: siempre)? (?:(?:ser|recibir|obtener|un|una|la) )*(?:aceptada|aprobada|5|cinco|maxima|nota maxima|puntuacion maxima)\b",
        r"\b(?:a partir de ahora|desde ahora|de ahora en adelante),? (?:siempre )?(?:respond\w+|contest\w+|acept\w+|calific\w+|ignor\w+)",
        rf"(?:{_START}|\by )(?P<hit>(?:da|de|dale|pon|asigna|otorga|otorgue|asigne)(?:les|le)? (?:un|una|la) (?:5|cinco|10|maxima (?:puntuacion|nota|calificacion)|(?:puntuacion|nota|calificacion) (?:maxima|perfecta|de 5))(?: (?:a|para|en) (?:todo|todos|todas|cada|esta|este)\b|\s*[.!]?\s*$))",
        r"\bveredicto ?(?:=|:) ?(?:aceptar|aceptada)\b",
        r"\bno (?:rechaces|rechace|penalices|penalice|suspendas) (?:esta|este|la|el) (?:leyenda|descripcion|respuesta|texto|muestra|ejemplo)\b",
        r"\b(?:la|tu|su) (?:puntuacion|nota|calificacion|decision) (?:debe|tiene que) (?:siempre )?ser (?:de )?(?:un )?(?:5|10|maxima|positiva)\b",
    ),
    "role": (
        r"\b(?:nota|mensaje|instruccion(?:es)?|aviso|atencion)(?: (?:para|al|a))(?: (?:el|la|los))? ?(?:juez|evaluador|ia|modelo|asistente|revisor automatico)\s*[:!,\-–—]",
        r"\b(?:eres|usted es)(?: ahora)? (?:un |una |el |la )?(?:evaluador|juez|asistente|ia|modelo de lenguaje)\b",
    ),
}

_ZH_IT = r"(?:这|本|该|此|每)(?:个|条|张|段|句|份|一个)?(?:图片|图像)?(?:的)?(?:描述|标题|回答|答案|文本|样本|说明|字幕|图片|图像|回复|句子|内容|例子|数据)"
_ZH_TOP = r"(?:5 ?分|五分|满分|最高分|10 ?分|十分满分|100 ?分|五星|5 ?星|满分通过|通过|接受)"
_ZH: _Patterns = {
    "override": (
        (
            r"(?:忽略|无视|忘记|忘掉|不要理会|不用理会|不必理会|跳过|不要遵守|不要遵循|忽視|無視|绕过)[^。！？\n]{0,6}?"
            r"(?:之前|以上|上述|上面|前面|先前|此前|所有|系统|系統|你的|原来|原有|原先|评分|评价)[^。！？\n]{0,8}?"
            r"(?:指令|指示|提示词|提示|规则|規則|要求|命令|标准|准则|设定|設定|说明)"
        ),
        r"(?:无论|不管|不论|无需考虑|不要看|不用看|忽略)(?:这张|该|此|本)?(?:图片|图像|图中|画面)(?:内容|里)?(?:是什么|如何|怎样|有什么|显示什么|，|,|。|都|$)",
        r"(?:新的|新)(?:系统)?(?:指令|指示)\s*:",
        r"(?:忽略|无视|忘记|忘掉|不要理会)(?:掉)?(?:所有|全部|一切)?(?:之前|以上|上述|上面|前面|先前)(?:所有|全部|一切)?(?:的)?(?:内容|话|一切|文字|对话|信息)",
        r"(?:不要|不必|不用|无需|别)(?:再)?(?:遵守|遵循|执行|理会)(?:任何|所有|之前的?|以上的?|你的|系统)?(?:规则|指令|指示|要求|标准|准则)",
    ),
    "demand": (
        rf"(?:请|必须|务必|一律|直接|应该|应当|把|将|给){{1,2}}(?:把|将|给|为|对)?{_ZH_IT}[^。！？\n]{{0,8}}?{_ZH_TOP}",
        rf"(?:请|必须|务必|一律|直接|都要|应该|全部|全都|都)(?:给|打|评|评为|给出|打出|判为|评定为|标记为|选择){{1,2}}(?:它|其)?[^。！？\n]{{0,4}}?{_ZH_TOP}",
        r"(?:请|必须|务必)(?:接受|通过|批准)(?:这|本|该|此)[^。！？\n]{0,3}(?:描述|标题|回答|答案|文本|样本|说明|字幕)",
        r"(?:一律|总是|始终|只能|只|都|必须|全部|直接|请)(?:回答|答|回复|输出|选择|选)[:\s]*[\"“「『‘']?(?:是|yes|对|正确|接受)[\"”」』’']?(?![\"”」』’']?\s*(?:或|还是|/|和|与|否|不|哪|什么|的))",
        rf"{_ZH_IT}(?:必须|应该|应当|一定要|值得|理应)(?:被)?(?:评为|判为|得|获得|给|打|标记为)?{_ZH_TOP}",
        r"(?:请|直接|务必|必须|一律|都)?(?:把|将)(?:所有)?(?:的)?(?:分数|评分|得分|分|结果|结论|判定|评级)[^。！？\n]{0,4}?(?:打成|设为|设成|改为|改成|定为|设置为|填)(?:5|五|满|最高|10|100|通过|接受)",
        r"(?:^|[。！？；，,.!?\n])\s*(?:请)?(?:给出|打出|直接给|输出)(?:最高分|满分|5 ?分|五分|最高评分)",
        r"(?:所有|每个|任何|全部)(?:的)?问题(?:都|全|一律|全都|均)?(?:要|请)?(?:回答|答|回复|选)[\"“「『‘']?(?:是|对|yes)",
        r"(?:(?:结论|判定) ?(?:=|:) ?|(?:评分|得分|分数|结论|判定)(?:应为|必须是|必须为))(?:5|五|满分|最高|10|通过|接受)",
        r"(?:^|[。！？；，,.!?\n])\s*(?:请|直接|一律)?(?:输出|回复|返回)[:\s]*[\"“「『‘'](?:是|yes|通过|接受|5)[\"”」』’'](?!\s*(?:或|还是|/|和|与))",
        r"(?:^|[。！？；，,.!?\n])\s*(?:请)?直接(?:判定?)?(?:通过|接受|批准)",
        r"(?:不要|不得|不能|禁止|切勿|别)(?:拒绝|驳回|否定|扣分)(?:这|本|该|此)[^。！？\n]{0,3}(?:描述|标题|回答|答案|文本|样本|说明|字幕)",
    ),
    "role": (
        r"(?:致|给|请|提醒)(?:所有)?(?:评审|评委|评判|评分|评估|裁判|审核)?(?:模型|ai|人工智能|评分员|评判员|助手)(?:注意|的(?:说明|提示|指令|消息|留言))?\s*[:,，]",
        r"你(?:现在|从现在起)?是(?:一个|一名|一位)?[^。！？\n]{0,6}(?:评委|评分员|评判员|裁判|助手|语言模型|人工智能|评审)",
    ),
}

_SAYS = (
    r"(?:you\b|your\b|ignore|disregard|forget|rate|score|grade|answer|respond|yes\b|accept|override|from now|new |always|never|must|sure\b|perfect|"
    r"the (?:caption|image|answer|verdict|rating|score|judge|description)|tu |vous |ignore[rz]|note[rz]? |du |sie |ignorier|bewerte|antworte|oui\b|ja\b|si\b|"
    r"ignora|califica|responde|eres|debes|你|忽略|请|必须|无视|是\b)"
)
_ANY: _Patterns = {
    "role": (
        rf"(?m:^|[\n\"'“#\]]|\\n)[\s#*>\[(-]*(?P<hit>(?:system|assistant|developer|systeme|sistema|asistente|assistent|系统|系統|助手)(?: (?:prompt|message|note|override|instruction|update|nachricht|meldung))?[\])*]*\s*:\s*[*\"'“]?{_SAYS})",
        r"\[{1,2}/?(?:system|assistant|system (?:message|prompt|note|override))\]{1,2}|</?(?:system|assistant|system_prompt)>",
        r"(?m:^)\s*#{2,} ?(?:system|instruction|response|assistant|human|new instructions?)s?\s*:?\s*$",
        r"\bsystem override\b|\bbegin system (?:prompt|message)\b",
    ),
    "token": (
        r"<\|[^\s<>|]{1,40}\|>|<\|(?:im_start|im_end|eot_id|endoftext|turn|channel|start|end|user|assistant|system)\b|<(?:turn|channel|message)\|>",
        r"\[/?(?:inst|system_prompt|available_tools|tool_calls|tool_results)\]|<?<</?sys>>|</?(?:start_of_turn|end_of_turn|start_of_image|end_of_image|image_soft_token|end_of_utterance|bos|eos)>",
        r"</?(?:think|tool_call|tool_response)>|</s>\s*(?:<s>)?\s*\[inst\]",
    ),
}


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r" (\??)", lambda blank: _BLANK + ("*" if blank[1] else "+"), pattern))


PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = tuple(
    (kind, _compiled(pattern))
    for language in (_EN, _FR, _DE, _ES, _ZH, _ANY)
    for kind, patterns in language.items()
    for pattern in patterns
)
"""Kind and pattern, in no particular order."""
